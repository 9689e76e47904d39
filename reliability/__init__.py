"""Tries to break what the atlas promises about its files: kills, races, bad disks, mutations."""
