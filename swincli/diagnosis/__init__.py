"""What `swincli doctor` finds out: the machine and its software, and what a recipe costs on it."""
