"""Past uses of tracks, and the memory that is made of them.

A *use* (`use`) is a row: one video and the moment of a track it used; `table` keeps uses. The
*memory* (`model`) says where on a track the next video starts, as a `density`, by the track's own
uses and by a prior of all tracks (`position`). `fusion` weighs it against a model's answer.
`habits` are what the uses of one person have in common.
"""
