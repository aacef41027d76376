"""Lesions followed through a video: steady counts and identities."""
