"""The tables of a memory: its events, the state that follows from them, kept crops and vectors."""
