#ifndef DF2REDIS_CSTANDARDDESCRIPTORS_H
#define DF2REDIS_CSTANDARDDESCRIPTORS_H

// Nothing is called from here: descriptors.c runs before main of each program that it is part of.

#endif
