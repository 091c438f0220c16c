"""Whether it is well, and if not, why and since when, in sentences: pure functions from facts to findings.

The status page, the metrics and the commands show the same findings; none of them judges by itself.
"""
