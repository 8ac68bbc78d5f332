"""What both trainers share: optimizer, schedules, devices, checkpoints."""
