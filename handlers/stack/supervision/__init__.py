"""Child processes under guard: started, watched, restarted, ended with everything that they started."""
