#include "engine/report/chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/report/html.hpp"

namespace esmm::report {

namespace {

constexpr double kWidth = 340, kLeft = 46, kTop = 24, kBottom = 40, kLineHeight = 16;
constexpr std::size_t kTold = 50;  // points of a series in the table and under the pointer

bool is_finite(const Point& point) {
  return std::isfinite(point.x) && std::isfinite(point.y);
}

std::vector<Point> finite_points(const Series& series) {
  std::vector<Point> points;
  std::copy_if(series.points.begin(), series.points.end(), std::back_inserter(points), is_finite);
  return points;
}

/// Where values are on the drawing.
struct Frame {
  Axis x_axis, y_axis;
  double right = 12;  // margins
  double height = 250;
  [[nodiscard]] double width() const { return kWidth - kLeft - right; }
  [[nodiscard]] double floor() const { return height - kBottom; }
  [[nodiscard]] double x(double value) const { return kLeft + x_axis.share(value) * width(); }
  [[nodiscard]] double y(double value) const { return floor() - y_axis.share(value) * (floor() - kTop); }
};

double text_width(const std::string& text) {
  return 6.6 * static_cast<double>(text.size());
}

Frame make_frame(const Chart& chart) {
  double x_low = HUGE_VAL, x_high = -HUGE_VAL, y_low = HUGE_VAL, y_high = -HUGE_VAL, widest = 0;
  for (const Series& series : chart.series) {
    widest = std::max(widest, text_width(series.label));
    for (const Point& p : finite_points(series)) {
      x_low = std::min(x_low, p.x), x_high = std::max(x_high, p.x);
      y_low = std::min({y_low, p.y, std::isfinite(p.low) ? p.low : p.y});
      y_high = std::max({y_high, p.y, std::isfinite(p.high) ? p.high : p.y});
    }
  }
  if (chart.level) y_low = std::min(y_low, *chart.level), y_high = std::max(y_high, *chart.level);
  Frame frame;
  frame.x_axis = chart.x_axis ? *chart.x_axis : Axis::covering(x_low, x_high);
  frame.y_axis = chart.y_axis ? *chart.y_axis : Axis::covering(y_low, y_high);
  if (chart.labels == Chart::Labels::at_line_ends && widest > 0) frame.right = 16 + widest;
  if (chart.diagonal) frame.height = kTop + frame.width() + kBottom;
  return frame;
}

std::string series_class(const Series& series) {
  constexpr int kColours = 6;  // in style.css
  return fmt::format("c{}{}", series.colour % kColours, series.colour >= kColours ? " dashed" : "");
}

std::string axes(const Chart& chart, const Frame& frame) {
  std::string svg;
  const double right = kLeft + frame.width();
  for (const double tick : frame.y_axis.ticks()) {
    const double y = frame.y(tick);
    svg += fmt::format("<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft, right,
                       y, y);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kLeft - 7, y + 4,
                       frame.y_axis.label(tick));
  }
  for (const double tick : frame.x_axis.ticks()) {
    const double x = frame.x(tick);
    svg += fmt::format("<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>", x,
                       frame.floor(), frame.floor() + 4);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", x, frame.floor() + 17,
                       frame.x_axis.label(tick));
  }
  svg += fmt::format("<line class=\"axis\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n", kLeft, right,
                     frame.floor(), frame.floor());
  svg +=
      fmt::format("<text class=\"unit\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", kLeft - 40, 11.0, escape(chart.y_label));
  svg += fmt::format("<text class=\"unit\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", right + 6,
                     frame.height - 6, escape(chart.x_label));
  return svg;
}

std::string references(const Chart& chart, const Frame& frame) {
  const auto line = [&](double x1, double y1, double x2, double y2) {
    return fmt::format("<line class=\"reference\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", x1, y1,
                       x2, y2);
  };
  std::string svg;
  if (chart.diagonal) svg += line(kLeft, frame.floor(), kLeft + frame.width(), kTop);
  if (chart.level) svg += line(kLeft, frame.y(*chart.level), kLeft + frame.width(), frame.y(*chart.level));
  return svg;
}

/// The line through the points; those that would not be seen apart from the one before are left out.
std::string path(const std::vector<Point>& points, const Frame& frame) {
  constexpr double kVisible = 0.7;
  std::string d;
  double last_x = 0, last_y = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double x = frame.x(points[i].x), y = frame.y(points[i].y);
    if (i > 0 && i + 1 < points.size() && std::hypot(x - last_x, y - last_y) < kVisible) continue;
    d += fmt::format("{}{:.1f} {:.1f}", i == 0 ? "M" : "L", x, y);
    last_x = x, last_y = y;
  }
  return fmt::format("<path d=\"{}\"/>\n", d);
}

/// Evenly spaced points, at most kTold, the last one among them.
std::vector<Point> told(const std::vector<Point>& points) {
  const std::size_t every = (points.size() + kTold - 1) / kTold;
  std::vector<Point> some;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if ((points.size() - 1 - i) % every == 0) some.push_back(points[i]);
  }
  return some;
}

std::string value_text(double value) {
  return fmt::format("{:.5g}", value);
}

std::string interval_text(const Point& point) {
  return std::isfinite(point.low) ? value_text(point.low) + " – " + value_text(point.high) : "";
}

std::string marks(const Series& series, const Chart& chart, const Frame& frame) {
  const std::vector<Point> points = finite_points(series);
  if (points.empty()) return {};
  const bool dots = series.dots || points.size() == 1;
  std::string svg = fmt::format("<g class=\"{}\">", series_class(series));
  for (const Point& p : points) {
    if (!std::isfinite(p.low)) continue;
    svg += fmt::format("<line class=\"interval\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>",
                       frame.x(p.x), frame.y(p.low), frame.y(p.high));
  }
  if (series.line && points.size() > 1) svg += path(points, frame);
  for (const Point& p : told(points)) {
    const std::string interval = interval_text(p);
    svg += fmt::format(
        "<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"><title>{}{} {}, {} {}{}</title></circle>\n",
        dots ? "dot" : "point", frame.x(p.x), frame.y(p.y), dots ? "3" : "5",
        series.label.empty() ? "" : escape(series.label) + ": ", escape(chart.x_label), value_text(p.x),
        escape(chart.y_label), value_text(p.y), interval.empty() ? "" : " (" + interval + ")");
  }
  return svg + "</g>";
}

struct Label {
  const Series* series;
  double x, y;
};

/// Moves labels apart, as little as they need, within the frame.
void spread(std::vector<Label>& labels, const Frame& frame) {
  std::ranges::stable_sort(labels, {}, &Label::y);
  for (std::size_t i = 1; i < labels.size(); ++i)
    labels[i].y = std::max(labels[i].y, labels[i - 1].y + kLineHeight - 2);
  double lowest = frame.floor() + 4;
  for (auto label = labels.rbegin(); label != labels.rend(); ++label) {
    label->y = std::min(label->y, lowest);
    lowest = label->y - (kLineHeight - 2);
  }
}

std::string label_texts(const Chart& chart, const Frame& frame) {
  std::vector<Label> labels;
  for (const Series& series : chart.series) {
    const std::vector<Point> points = finite_points(series);
    if (!points.empty() && !series.label.empty())
      labels.push_back({&series, frame.x(points.back().x) + 8, frame.y(points.back().y) + 4});
  }
  const char* anchor = "start";
  if (chart.labels == Chart::Labels::at_line_ends) {
    spread(labels, frame);
  } else {
    const bool lower = chart.labels == Chart::Labels::lower_right;
    const double x = lower ? kLeft + frame.width() - 8 : kLeft + 10;
    anchor = lower ? "end" : "start";
    double y = lower ? frame.floor() - 10 - kLineHeight * (static_cast<double>(labels.size()) - 1) : kTop + 14;
    for (Label& label : labels) label.x = x, label.y = y, y += kLineHeight;
  }
  std::string svg;
  for (const Label& label : labels) {
    svg += fmt::format("<text class=\"label {}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
                       series_class(*label.series), label.x, label.y, anchor, escape(label.series->label));
  }
  return svg;
}

std::string data_table(const Chart& chart) {
  bool labelled = false, intervals = false, thinned = false;
  for (const Series& series : chart.series) {
    const std::vector<Point> points = finite_points(series);
    labelled |= !series.label.empty();
    thinned |= points.size() > kTold;
    for (const Point& p : points) intervals |= std::isfinite(p.low);
  }
  std::vector<Cell> heads{number(chart.x_label), number(chart.y_label)};
  if (labelled) heads.insert(heads.begin(), text("series"));
  if (intervals) heads.push_back(number("95\u00A0% interval"));
  Table table(thinned ? fmt::format("At most {} points of each line.", kTold) : "", heads);
  for (const Series& series : chart.series) {
    for (const Point& p : told(finite_points(series))) {
      std::vector<Cell> row{number(value_text(p.x)), number(value_text(p.y))};
      if (labelled) row.insert(row.begin(), text(series.label));
      if (intervals) row.push_back(number(interval_text(p)));
      table.add(std::move(row));
    }
  }
  return "<details><summary>Data</summary>\n" + table.html() + "</details>";
}

}  // namespace

bool has_points(const Chart& chart) {
  return std::ranges::any_of(chart.series, [](const Series& s) { return std::ranges::any_of(s.points, is_finite); });
}

std::string figure_html(const Chart& chart, const std::string& id) {
  const Frame frame = make_frame(chart);
  std::string html = fmt::format("<figure>\n<figcaption><b>{}</b> <span>{}</span></figcaption>\n", escape(chart.title),
                                 escape(chart.space));
  html += fmt::format(
      "<svg viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" aria-labelledby=\"{2}-title {2}-desc\">\n"
      "<title id=\"{2}-title\">{3}</title><desc id=\"{2}-desc\">{4}</desc>\n",
      kWidth, frame.height, id, escape(chart.title + (chart.space.empty() ? "" : ", " + chart.space)),
      escape(chart.description));
  html += axes(chart, frame) + references(chart, frame);
  for (const Series& series : chart.series) html += marks(series, chart, frame);
  html += label_texts(chart, frame);
  return html + "</svg>\n" + data_table(chart) + "\n</figure>\n";
}

std::string figures_html(const std::vector<Chart>& charts, int& next_id) {
  std::string figures;
  for (const Chart& chart : charts) {
    if (has_points(chart)) figures += figure_html(chart, fmt::format("figure-{}", next_id++));
  }
  return figures.empty() ? figures : "<div class=\"figures\">\n" + figures + "</div>\n";
}

}  // namespace esmm::report
