"""enroll-batch: bulk enrollment into Capillary Loyalty+ milestones and streaks, with accounts that balance."""

__version__ = "0.1.0"
