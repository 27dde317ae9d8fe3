"""Beside the steps: the run that nobody watches: what lies in the inbox, who is told, what is measured."""
