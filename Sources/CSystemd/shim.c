// A C target needs a source file; this one proves that the header stands on its own.
#include "CSystemd.h"
