"""Files in, arrays out; arrays in, files out. PyAV stops here."""
