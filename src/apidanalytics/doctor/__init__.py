"""Tries everything that the service needs, one check after the other, and says what is wrong and what to do.

It changes nothing but for a probe file that it writes and removes, and with ``--upload`` an empty object in the store.
No token, key or signed URL is in what it says.
"""
