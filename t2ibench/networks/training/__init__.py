"""How the weights of the zoo are made: the loop, and a recipe for each network, which `t2ibench train` finds by the
name of its file.
"""
