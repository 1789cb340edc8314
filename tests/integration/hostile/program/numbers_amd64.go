package main

// System calls that the standard library has no name for.
const (
	sysNameToHandleAt  = 303
	sysOpenByHandleAt  = 304
	sysClockAdjtime    = 305
	sysSetns           = 308
	sysProcessVMReadv  = 310
	sysProcessVMWritev = 311
	sysKcmp            = 312
	sysFinitModule     = 313
	sysSeccomp         = 317
	sysMemfdCreate     = 319
	sysKexecFileLoad   = 320
	sysBpf             = 321
	sysUserfaultfd     = 323
)
