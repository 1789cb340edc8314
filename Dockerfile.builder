# The builder image: the bootstrap Go and one static `uname` (cmd/dist asks it for the machine's
# name), and nothing else. No shell, no C compiler, no package manager, no user database.
#
# The context is the file tree that the `sandbox` engine runs on too, made from locked inputs and
# given to the engine as a stream (containers/docker/builder_image.py), so that both engines run the same
# files. After the build the image's files are compared with that tree, one by one.
FROM scratch
COPY bootstrap /bootstrap
COPY bin /bin
