"""The parts of tests/test_state_machine.py: a plain model, and the rules that compare it."""
