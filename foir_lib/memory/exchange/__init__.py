"""What comes out of a memory and into another: JSON lines with crops, memories merged, sidecars of pictures."""
