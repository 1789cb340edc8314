module sourcery/userland

go 1.24
