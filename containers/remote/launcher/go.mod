module sourcery/launcher

go 1.24
