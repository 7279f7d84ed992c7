"""Attribute pairs: who judges them, how often they are hit, and the lines of a record about them."""
