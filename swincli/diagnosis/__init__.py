"""`swincli doctor`: inspection of machine and software, and the time, memory and disk space that a recipe needs."""
