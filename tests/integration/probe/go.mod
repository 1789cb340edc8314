module sourcery.test/probe

go 1.21
