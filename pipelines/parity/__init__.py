"""Our crops beside torchvision's."""
