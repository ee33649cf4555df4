"""Hours of work in minutes: does memory stay constant over a million crashes?"""
