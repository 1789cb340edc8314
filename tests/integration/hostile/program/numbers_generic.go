//go:build arm64 || riscv64

package main

// System calls that the standard library has no name for.
const (
	sysNameToHandleAt  = 264
	sysOpenByHandleAt  = 265
	sysClockAdjtime    = 266
	sysSetns           = 268
	sysProcessVMReadv  = 270
	sysProcessVMWritev = 271
	sysKcmp            = 272
	sysFinitModule     = 273
	sysSeccomp         = 277
	sysMemfdCreate     = 279
	sysKexecFileLoad   = 294
	sysBpf             = 280
	sysUserfaultfd     = 282
)
