/*
 * static_files.c
 *		Static pages; static_files.h has the contract.
 */
#include "static_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define MAX_DEPTH 8

static const struct
{
	const char *suffix;
	const char *type;
}			types[] =

{
	{
		".html", "text/html; charset=utf-8"
	},
	{
		".css", "text/css; charset=utf-8"
	},
	{
		".js", "text/javascript; charset=utf-8"
	},
	{
		".json", "application/json"
	},
	{
		".txt", "text/plain; charset=utf-8"
	},
	{
		".svg", "image/svg+xml"
	},
	{
		".png", "image/png"
	},
	{
		".ico", "image/x-icon"
	},
	{
		".woff2", "font/woff2"
	},
};

static void load_folder(int folder, const char *path, int depth, RgStaticFiles *files);

static const char *
type_of(const char *name)
{
	size_t		len = strlen(name);

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
	{
		size_t		suffix = strlen(types[i].suffix);

		if (len > suffix && strcmp(name + len - suffix, types[i].suffix) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

static bool
read_whole(int fd, char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t		got = read(fd, data, len);

		if (got <= 0)
			return false;
		data += got;
		len -= got;
	}
	return true;
}

/* Pages are asked for again each time, and then mostly not sent again. */
static bool
make_headers(RgStaticFile *file)
{
	char	   *headers;
	int			len = asprintf(&headers, "Content-Type: %s\r\nCache-Control: no-cache\r\n", file->type);

	if (len < 0)
		return false;
	file->headers = rg_slice(headers, len);
	return true;
}

static bool
has_room(const RgStaticFiles *files, size_t size)
{
	return files->count < RG_STATIC_MAX_FILES &&
		size <= RG_STATIC_MAX_BYTES - files->bytes;
}

static void
add_file(RgStaticFiles *files, char *path, const char *type, RgSlice body)
{
	RgStaticFile *file = &files->list[files->count];

	file->path = path;
	file->type = type;
	rg_content_init(&file->content, body, true);
	if (path != NULL && make_headers(file))
		files->count++;
}

/* "/guide/index.html" is "/guide/" too, and "/docs.html" is "/docs". */
static size_t
short_length(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	size_t		len = strlen(path);

	if (strcmp(name, "index.html") == 0)
		return name - path;
	return strlen(name) > 5 && strcmp(path + len - 5, ".html") == 0 ? len - 5 : len;
}

static void
add_paths(RgStaticFiles *files, const char *path, RgSlice body)
{
	size_t		len = short_length(path);

	add_file(files, strdup(path), type_of(path), body);
	if (path[len] != '\0' && files->count < RG_STATIC_MAX_FILES)
		add_file(files, strndup(path, len), type_of(path), body);
}

static void
load_file(int fd, const char *path, size_t size, RgStaticFiles *files)
{
	char	   *data = has_room(files, size) ? malloc(size + 1) : NULL;

	if (data == NULL || !read_whole(fd, data, size))
	{
		rg_log(RG_LOG_WARNING, "a static file is left out", "path", path, NULL);
		free(data);
		return;
	}
	files->bytes += size;
	add_paths(files, path, rg_slice(data, size));
}

/* Takes the descriptor over. */
static void
load_entry(int fd, const char *path, int depth, RgStaticFiles *files)
{
	struct stat status;

	if (fstat(fd, &status) != 0)
		close(fd);
	else if (S_ISDIR(status.st_mode) && depth < MAX_DEPTH)
		load_folder(fd, path, depth + 1, files);
	else
	{
		if (S_ISREG(status.st_mode))
			load_file(fd, path, status.st_size, files);
		close(fd);
	}
}

/* Takes the descriptor over.  Links are not followed: they may lead out. */
static void
load_folder(int folder, const char *path, int depth, RgStaticFiles *files)
{
	DIR		   *entries = fdopendir(folder);
	struct dirent *entry;

	while (entries != NULL && (entry = readdir(entries)) != NULL)
	{
		char	   *below;
		int			fd;

		if (entry->d_name[0] == '.' ||
			asprintf(&below, "%s/%s", path, entry->d_name) < 0)
			continue;
		fd = openat(folder, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0)
			load_entry(fd, below, depth, files);
		else
			rg_log(RG_LOG_WARNING, "a static file is left out", "path", below, NULL);
		free(below);
	}
	if (entries != NULL)
		closedir(entries);
}

static int
compare_paths(const void *a, const void *b)
{
	return strcmp(((const RgStaticFile *) a)->path, ((const RgStaticFile *) b)->path);
}

void
rg_static_load(const char *root, RgStaticFiles *files)
{
	int			folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memset(files, 0, sizeof *files);
	files->list = calloc(RG_STATIC_MAX_FILES, sizeof *files->list);
	if (folder < 0 || files->list == NULL)
	{
		rg_log(RG_LOG_WARNING, "there are no static pages", "folder", root, NULL);
		return;
	}
	load_folder(folder, "", 0, files);
	qsort(files->list, files->count, sizeof *files->list, compare_paths);
}

static int
compare(RgSlice path, const char *other)
{
	int			order = strncmp(path.data, other, path.len);

	return order != 0 || other[path.len] == '\0' ? order : -1;
}

RgStaticFile *
rg_static_find(const RgStaticFiles *files, RgSlice path)
{
	int			low = 0;
	int			high = files->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = compare(path, files->list[middle].path);

		if (order == 0)
			return &files->list[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* Takes the next entry off the list, and "W/" off the entry. */
static RgSlice
take_etag(RgSlice *list)
{
	const char *comma = memchr(list->data, ',', list->len);
	RgSlice		etag = {list->data, comma ? (size_t) (comma - list->data) : list->len};
	size_t		taken = etag.len + (comma != NULL);

	list->data += taken;
	list->len -= taken;
	for (; etag.len > 0 && (*etag.data == ' ' || *etag.data == '\t'); etag.len--)
		etag.data++;
	while (etag.len > 0 && (etag.data[etag.len - 1] == ' ' ||
							etag.data[etag.len - 1] == '\t'))
		etag.len--;
	if (etag.len > 2 && memcmp(etag.data, "W/", 2) == 0)
		etag = rg_slice(etag.data + 2, etag.len - 2);
	return etag;
}

bool
rg_etag_matches(RgSlice if_none_match, RgSlice etag)
{
	while (if_none_match.len > 0)
	{
		RgSlice		entry = take_etag(&if_none_match);

		if (rg_slice_is(entry, "*") || rg_slice_equal(entry, etag))
			return true;
	}
	return false;
}
