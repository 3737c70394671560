"""How one bill line is read: words, model families, slots and units, each from the data in
`sources/mappings`.
"""
