"""What starts runs by itself: conditions, polls, sensors."""
