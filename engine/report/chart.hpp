#pragma once
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "engine/report/axis.hpp"

namespace esmm::report {

/// A point, with the interval of its y where it has one. Points that are not finite are left out of a drawing.
struct Point {
  double x = 0, y = 0;
  double low = std::numeric_limits<double>::quiet_NaN(), high = std::numeric_limits<double>::quiet_NaN();
};

struct Series {
  std::string label;  // drawn beside the series; may be empty when it is alone
  std::vector<Point> points;
  int colour = 0;  // of the palette in style.css; dashed from the second round on
  bool line = true, dots = false;
};

/// A small figure: lines or dots over two axes with round numbers, its title and space above, its data behind it.
struct Chart {
  enum class Labels { at_line_ends, lower_right, upper_left };
  std::string title;        // "pCTR"
  std::string space;        // "all impressions"; may be empty
  std::string description;  // one sentence for those who cannot see it
  std::string x_label, y_label;
  std::vector<Series> series;
  Labels labels = Labels::at_line_ends;
  bool diagonal = false;               // a reference from corner to corner, on a square
  std::optional<double> level = {};    // a horizontal reference
  std::optional<Axis> x_axis, y_axis;  // else covering the points
};

/// Whether there is anything to draw.
[[nodiscard]] bool has_points(const Chart& chart);
/// A <figure>: caption, inline SVG with <title> and <desc>, and a table of the data in <details>. `id` is unique on the
/// page. Every dot tells its values when it is pointed at, without a script.
[[nodiscard]] std::string figure_html(const Chart& chart, const std::string& id);
/// Figures side by side, as many as fit; those without points are left out. Numbers their ids from `first_id` on.
[[nodiscard]] std::string figures_html(const std::vector<Chart>& charts, int& next_id);

}  // namespace esmm::report
