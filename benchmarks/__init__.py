"""Speed and memory of the service, measured against two yardsticks in the same run: ``make bench``."""
