"""The endpoint that hands out signed URLs, and the local store behind the embedded one."""
