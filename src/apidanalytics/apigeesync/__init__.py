"""The client of Apigee Sync: a token, snapshots, change lists, and the scope data that follows from them."""
