"""Replaying traces recorded from a real Erlang/OTP, and comparing them with what this library does."""
