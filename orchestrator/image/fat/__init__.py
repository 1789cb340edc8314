"""FAT32 disk images: writer, reader, and a second reader that checks every byte."""
