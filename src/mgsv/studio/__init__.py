"""The studio: a page to hear, move and render moments, and the REST interface under it.

What it does with clips and music it does by the public functions of `mgsv`; here are the requests,
the queue, and what keeps strangers out. Needs the extra `mgsv[studio]`.
"""
