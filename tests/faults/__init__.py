"""The fault suite: a real service under load that is hurt in every known way, and an oracle of its own.

Nothing here that decides what is right uses the product's code: what is sent, what must come of it and how the lake
is read are all written down once more.
"""
