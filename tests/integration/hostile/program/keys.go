package main

import (
	"syscall"
)

// Keyrings by special number and operations of keyctl(2): linux/keyctl.h.
const (
	sessionRing     = -3
	userRing        = -4
	userSessionRing = -5
	keyGetRing      = 0
	keyJoin         = 1
	keySearch       = 10
	keyRead         = 11
	keyPersistent   = 22
)

var keyAttempts = map[string]attempt{
	"key-find-session":   func() result { return findKey(sessionRing) },
	"key-find-user":      func() result { return findKey(userRing) },
	"key-find-session-2": func() result { return findKey(userSessionRing) },
	"key-request":        requestKey,
	"key-ring-number":    calling(syscall.SYS_KEYCTL, keyGetRing, at(sessionRing), 0),
	"key-join-session":   calling(syscall.SYS_KEYCTL, keyJoin, text("hostile")),
	"key-persistent":     calling(syscall.SYS_KEYCTL, keyPersistent, at(-1), at(sessionRing)),
}

func search(ring int, name string) result {
	found := call(syscall.SYS_KEYCTL, keySearch, at(ring), text("user"), text(name), 0)
	if found.Outcome == possible {
		return yes("found ", name, ": ", found.Detail)
	}
	return found
}

func findKey(ring int) result { return search(ring, order.Key) }

func planted() string { return "planted-" + order.Token }

// plant leaves a key that a later action would find.
func plant(ring int) result {
	return call(syscall.SYS_ADD_KEY, text("user"), text(planted()), text("hostile"), 7, at(ring))
}

func requestKey() result {
	return call(syscall.SYS_REQUEST_KEY, text("user"), text(order.Key), 0, 0)
}
