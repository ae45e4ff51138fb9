"""What an output has to be: compiled once, then followed token by token.

Engines that choose tokens themselves share it. Only `limits` and `errors` can be imported without
the library llguidance.
"""
