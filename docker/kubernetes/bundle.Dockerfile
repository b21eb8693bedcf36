# The image of one bundle. The init container of a pod copies the bundle from the image to a volume.
# docker build -f docker/kubernetes/bundle.Dockerfile -t REGISTRY/thalweg-bundle:BUNDLE_ID FOLDER_OF_THE_BUNDLE
FROM busybox:1.37.0
COPY --chown=10001 . /bundle
USER 10001
