"""Floor 0: decisions as values.

Nothing here knows Trio, a clock or a logger: functions take frozen values and return frozen values, so that
Hypothesis and the recorded traces of the real OTP can drive them by the million. Only stdlib and attrs are imported.
"""
