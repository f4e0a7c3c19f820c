"""python -m stackgan.benchmark [--json]: how fast captions become pictures on this machine.

The plain network and every engine that can run here take turns, caption → both pictures through the
pipeline, so that whatever else the machine does falls on all of them. `speedup` is the plain fp32
eager network's median over the default engine's at batch 1, the caption's embedding out of the
encoder's cache for both, as of any caption drawn twice.

GFLOP/s counts the plain network's arithmetic, whichever engine runs: what an engine saves by
rewriting shows as speed. A share of a peak can therefore pass 100 %.

`measure` takes the engines' times in this process, `processes` those of new processes (a cold start, the
page), `report` makes text, a Markdown table and a picture of them.
"""
