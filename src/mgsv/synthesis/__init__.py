"""Data made for training and measuring, with the answer known.

`planted` projects latent songs to features; `composed` cuts real pictures to real music.
"""
