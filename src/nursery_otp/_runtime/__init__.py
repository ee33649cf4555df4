"""Floor 1: processes on Trio.

Carries decisions out with tasks, cancel scopes and mailboxes: what a process is, how messages, links, monitors, names
and timers reach it, and the one place where every process ends. It knows nothing of servers and supervisors.
"""
