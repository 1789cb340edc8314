package main

// System calls that have one number on every architecture.
const (
	sysPidfdSendSignal  = 424
	sysIoUringSetup     = 425
	sysOpenTree         = 428
	sysMoveMount        = 429
	sysFsopen           = 430
	sysFspick           = 433
	sysPidfdOpen        = 434
	sysClone3           = 435
	sysPidfdGetfd       = 438
	sysProcessMadvise   = 440
	sysMountSetattr     = 442
	sysQuotactlFd       = 443
	sysLandlockCreate   = 444
	sysMemfdSecret      = 447
	sysProcessMrelease  = 448
	sysSetMempolicyHome = 450
	sysCachestat        = 451
	sysStatmount        = 457
	sysListmount        = 458
	sysLsmListModules   = 461
	sysOpenTreeAttr     = 467
)
