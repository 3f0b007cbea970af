"""SwAV itself: codes, queue, loss, optimizer, schedule, one step."""
