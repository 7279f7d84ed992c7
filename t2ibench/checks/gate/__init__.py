"""A gate between two sources of images of the same prompts and seeds: may B stand in for A?

A served, quantised or compiled model draws nearly the images of its original. Whether nearly is near enough has three
layers, since none sees all faults:

- every image (`faults`): it decodes, has the size and the format of its partner, shows something, and is no copy;
- every pair (`distances`): the two are no further apart than reruns of A, or than noise of a size that is allowed;
- means (`means`): what can be said of single images is equivalent on average, within stated margins.
"""
