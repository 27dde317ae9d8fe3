"""The composition root: Settings become parts, and the parts become a run.

Owns the order of the three passes over one ledger: plan, send, report. The only room that joins rooms of different
steps. Used by the commands; nothing here prints.
"""
