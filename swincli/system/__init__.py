"""Machine and operating system: processes, devices, CPU cores, memory limits, atomic files, the cache folder."""
