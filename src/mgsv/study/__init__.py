"""Listening tests: which music do people find to fit, blindly.

Reading order: `options`, `study` (what lies on the disk), `create`, `original`, `design` (what one
listener is asked), `answers`, `report` and what it counts with: `intervals`, `strengths`,
`agreement`, `exclusion`.
"""
