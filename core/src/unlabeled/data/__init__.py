"""Files, folders and archives, as all readers see them."""
