# The builder image: the tree of a builder, as it is, and nothing else. Usually that is the bootstrap
# Go and one static `uname` (cmd/dist asks it for the machine's name): no shell, no C compiler, no
# package manager, no user database. A toolchain from GCC's Go begins with GCC and its libraries.
#
# `root` in the context is the tree that the `sandbox` engine runs on too, made from locked inputs
# and given to the engine as a stream (containers/docker/builder_image.py), so that both engines run
# the same files. After the build the image's files are compared with that tree, one by one.
FROM scratch
COPY root /
