"""What readers of files, folders and archives share."""
