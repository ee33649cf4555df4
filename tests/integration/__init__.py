"""Tests of the whole: trees of all shapes, interrupted at every moment, misused in every way."""
